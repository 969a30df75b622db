"""Every performance figure, measured side by side: ours, the raw engine, and the peers."""
