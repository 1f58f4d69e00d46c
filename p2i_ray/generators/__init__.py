"""The sibling paper's generators: a background style for each category, and a brand's own style from one picture."""
