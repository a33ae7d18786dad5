"""Networks: backbones, edge networks, initial weights, and reading and writing of `.keras` files."""
