"""The wallet: rules, store, pages and commands."""
