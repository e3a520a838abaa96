"""Two streams compared by what they mean: what a restore of either would have, not how it was sent."""
