"""From a concern to a closed loop: who was asked to help, what they answered, what came of it."""
