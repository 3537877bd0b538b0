"""From tokenised pairs to batches. Empty on purpose: `data.batch` must not load lightning."""
