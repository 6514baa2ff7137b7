"""Pages for people: what a version learned from, how good it is, and what the gate said."""
