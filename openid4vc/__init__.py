"""What travels between the parties: OpenID4VCI 1.0 and OpenID4VP 1.0, both ends of a message."""
