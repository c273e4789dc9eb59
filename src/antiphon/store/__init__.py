"""The store that replicas share: one Valkey, reached by everyone who keeps something there."""
