"""The front door: assembles the parties; no rules of its own."""
