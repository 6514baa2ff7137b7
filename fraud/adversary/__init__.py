"""The other side: a seeded world of honest customers and fraudsters, and the demo that plays it."""
