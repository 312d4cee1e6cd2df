"""Build an atlas set from a cohort, as the paper does."""
