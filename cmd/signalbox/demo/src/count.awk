{
	$0 = tolower($0)
	gsub(/[^a-z]+/, " ")
	for (i = 1; i <= NF; i++) {
		seen[$i]++
	}
}
