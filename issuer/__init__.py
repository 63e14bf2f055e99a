"""The issuer: rules, store, pages and commands."""
