"""The frame the three services share: pages, headers, database, outgoing requests, console."""
