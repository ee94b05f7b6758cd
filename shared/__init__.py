"""What both stages need: the wire contract, the lifecycle, the state store, the spool, the providers, submission."""
