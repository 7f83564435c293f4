"""Sounds for the tiny language model: OneLLM's way, at the smallest size."""
