"""Lesson 06, the bridge: a decoder that reads an encoder, and which word it reads for which."""
