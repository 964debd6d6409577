"""The study plan: what is taken when, what it takes, and how far somebody is."""
