"""Ways in that only submit."""
