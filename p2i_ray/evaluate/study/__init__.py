"""A user study: raters compare pictures of several methods on a page that doesn't say whose they are."""
