"""Networks in plain torch: AL layers, their parts, and Algorithm 1. Nothing in here knows Lightning."""
