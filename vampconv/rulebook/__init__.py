"""Rules for people: what there is, what they look like, whether they are right, and what they made."""
