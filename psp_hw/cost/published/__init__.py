"""What published synthesis reports say of layers that others generated, and how close the price list comes."""
