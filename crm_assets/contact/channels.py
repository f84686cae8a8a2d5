"""The ways to reach a person that can be refused one by one (rules 3.3)."""

CHANNELS = ("email", "sms", "whatsapp")
"""In alphabetical order; refusing no channel by name refuses all."""
