"""What a fraudster controls and pays, and the search for payments that get through."""
