"""How good are scores? Average precision, recall within an alert budget, intervals."""
