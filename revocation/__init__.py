"""Status without a registry: published carefully, read cheaply."""
