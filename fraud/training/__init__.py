"""From the archive to challengers: training sets, splits, recipes, fitting, Ray workers."""
