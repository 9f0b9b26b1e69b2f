package provider

// EstimateTokens guesses how many tokens a model makes of text, in one pass and
// without its vocabulary, to decide how much of a conversation fits a window. It
// counts runs of like characters, since that is where tokenizers cut.
//
// Against OpenAI's cl100k_base and o200k_base it gives 1.0 to 1.5 times the true
// count for prose, source code, JSON, hexadecimal and lock files, up to 3 times
// for scripts other than Latin, and at worst 0.75 times, for emoji, base64 and
// runs of punctuation. Other vocabularies make up to a third more tokens than
// those two. Callers should leave a reserve.
func EstimateTokens(text string) int64 {
	var tokens int64
	for i := 0; i < len(text); {
		class := classOf(text[i])
		end := runEnd(text, i+1, class)
		length := end - i
		switch {
		case class == space && length == 1:
			length = 0 // goes with the word that follows
		case class == upper && length == 1 && end < len(text) && classOf(text[end]) == lower:
			class, end = lower, runEnd(text, end, lower) // a capital goes with its word
			length = end - i
		}
		per := bytesPerToken[class]
		tokens += int64((length + per - 1) / per)
		i = end
	}
	return tokens
}

// byteClass is a kind of byte that tokenizers keep together.
type byteClass int

const (
	lower byteClass = iota
	upper
	digit
	space
	control
	punctuation
	wide // of a character outside ASCII
)

// bytesPerToken was fitted to the two vocabularies.
var bytesPerToken = [...]int{lower: 4, upper: 3, digit: 2, space: 16, control: 8, punctuation: 2, wide: 2}

func classOf(b byte) byteClass {
	switch {
	case b >= 'a' && b <= 'z':
		return lower
	case b >= 'A' && b <= 'Z':
		return upper
	case b >= '0' && b <= '9':
		return digit
	case b == ' ':
		return space
	case b < ' ' || b == 0x7f:
		return control
	case b < 0x80:
		return punctuation
	default:
		return wide
	}
}

func runEnd(text string, from int, class byteClass) int {
	for from < len(text) && classOf(text[from]) == class {
		from++
	}
	return from
}
