END {
	sort = "sort -k1,1nr -k2,2"
	for (word in seen) {
		print seen[word], word | sort
	}
	close(sort)
}
