"""Networks: backbones, edge networks, initial weights and the `.keras` file."""
