"""Lesson 03, the encoder alone: hiding tokens, the loss on what was hidden, and what stands on top of an encoder."""
