"""A cheap head on CLIP features in front of the judge."""
