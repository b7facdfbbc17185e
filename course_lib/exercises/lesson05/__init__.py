"""Lesson 05, the model that cheats: where it looks ahead, whether it uses it, and a mask that hides the future."""
