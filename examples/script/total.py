"""Print the total of the numbers that it is given."""

import sys

total = sum(int(word) for word in sys.argv[1:])
sys.stdout.write(f"{total}\n")
