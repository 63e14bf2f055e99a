"""The verifier: rules, store, pages and commands."""
