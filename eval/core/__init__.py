"""What text and image metrics share."""
