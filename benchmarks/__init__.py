"""What we claim about speed, beside what others reach, measured in one run on the same tables."""
