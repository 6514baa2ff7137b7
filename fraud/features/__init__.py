"""Feature state: windows, label feedback, calendar, categoricals. One kernel, online and in replay."""
