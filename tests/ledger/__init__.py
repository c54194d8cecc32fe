"""A server of the hosted FLUX.2 protocol that keeps accounts: what it billed and delivered is the truth for tests."""
