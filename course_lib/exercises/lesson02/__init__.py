"""Lesson 02, the one block: weights, heads, causal self-attention and, for those who want more, rotary positions."""
