"""What the words of a shop mean: colours, and what a product is, from titles and descriptions in six languages."""
