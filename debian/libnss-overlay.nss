# What /etc/hosts says comes first; DNS is not asked for names of the cluster.
hosts after=files overlay
