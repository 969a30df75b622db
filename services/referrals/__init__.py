"""From concern to closed loop: one kind of help for one need, and everything that befell it."""
