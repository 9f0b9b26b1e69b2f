package token_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/internal/token"
)

func refresh(t testing.TB, o *office) string {
	t.Helper()
	text, _, err := o.NewRefresh("0198f")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func apiKey(t testing.TB, o *office) string {
	t.Helper()
	text, _, err := o.NewAPIKey(token.Holder{UserID: "user_alice", KeyID: "key_1"})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRefreshToken(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	text, verifier, err := o.NewRefresh("0198f")
	if err != nil {
		t.Fatal(err)
	}

	t.Run("names its family and proves itself", func(t *testing.T) {
		t.Parallel()
		if !regexp.MustCompile(`^rtk_0198f\.[A-Za-z0-9_-]{43}$`).MatchString(text) {
			t.Errorf("the token is %s", text)
		}
		family, shown, ok := o.ReadRefresh(text)
		if !ok || family != "0198f" || shown != verifier {
			t.Errorf("it reads as %q, %q, %v", family, shown, ok)
		}
	})

	t.Run("cannot be told from its verifier, nor proved elsewhere", func(t *testing.T) {
		t.Parallel()
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(verifier) || strings.Contains(verifier, text[10:]) {
			t.Errorf("the verifier is %s", verifier)
		}
		elsewhere := newOffice(t, func(o *token.Options) { o.Hash = keyedHash("another installation") })
		if _, _, ok := elsewhere.ReadRefresh(text); ok {
			t.Error("another installation's token is taken for its own")
		}
	})

	t.Run("is another each time", func(t *testing.T) {
		t.Parallel()
		again, other, err := o.NewRefresh("0198f")
		if err != nil || again == text || other == verifier {
			t.Errorf("it is the same again, %v", err)
		}
	})

	t.Run("of another family, or with another letter, proves nothing", func(t *testing.T) {
		t.Parallel()
		for i := range len(text) {
			c := byte('A')
			if text[i] == c {
				c = 'B'
			}
			if _, shown, ok := o.ReadRefresh(text[:i] + string(c) + text[i+1:]); ok {
				t.Errorf("with another letter at %d it is %q's", i, shown)
			}
		}
	})

	t.Run("in another form is none", func(t *testing.T) {
		t.Parallel()
		secret := text[strings.IndexByte(text, '.')+1:]
		for _, c := range []string{
			"",
			"rtk_",
			"rtk_.",
			"rtk_." + secret,
			secret,
			"RTK_0198f." + secret,
			"rtk_0198f" + secret,
			"rtk_0198f.." + secret,
			"rtk_0198f.x." + secret,
			"rtk_01/98f." + secret,
			"rtk_../0198f." + secret,
			"rtk_0198f\n." + secret,
			"rtk_" + strings.Repeat("f", 129) + "." + secret,
			text[:len(text)-1],
			text + "A",
			text + "\n",
			text[:20] + "\n" + text[20:],
			text[:20] + "\n" + text[21:],
			text[:len(text)-1] + "=",
			text[:len(text)-1] + "B",
			" " + text,
		} {
			if family, _, ok := o.ReadRefresh(c); ok {
				t.Errorf("%q is of the family %q", c, family)
			}
		}
	})

	t.Run("is not made for a family that it could not name", func(t *testing.T) {
		t.Parallel()
		for _, family := range []string{"", "a.b", "a b", strings.Repeat("f", 129)} {
			if text, _, err := o.NewRefresh(family); err == nil {
				t.Errorf("NewRefresh(%q) = %s", family, text)
			}
		}
	})
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	operator := token.Holder{UserID: "user_service", KeyID: "key_operator"}
	o := newOffice(t, func(o *token.Options) { o.Operator = operator })
	holder := token.Holder{UserID: "user_alice", KeyID: "key_1"}
	text, verifier, err := o.NewAPIKey(holder)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("names whose it is and proves itself", func(t *testing.T) {
		t.Parallel()
		if !regexp.MustCompile(`^gak_user_alice\.key_1\.[A-Za-z0-9_-]{43}$`).MatchString(text) {
			t.Errorf("the key is %s", text)
		}
		userID, keyID, shown, ok := o.ReadAPIKey(text)
		if !ok || userID != holder.UserID || keyID != holder.KeyID || shown != verifier {
			t.Errorf("it reads as %q, %q, %q, %v", userID, keyID, shown, ok)
		}
	})

	t.Run("of another holder has another verifier", func(t *testing.T) {
		t.Parallel()
		_, _, shown, ok := o.ReadAPIKey(strings.Replace(text, "user_alice", "user_admin", 1))
		if !ok || shown == verifier {
			t.Errorf("another user's key reads as %q, %v", shown, ok)
		}
	})

	t.Run("that an operator chose is the operator's", func(t *testing.T) {
		t.Parallel()
		userID, keyID, one, ok := o.ReadAPIKey("what the operator chose")
		_, _, other, _ := o.ReadAPIKey("what the operator did not choose")
		if !ok || userID != operator.UserID || keyID != operator.KeyID || one == other {
			t.Errorf("it reads as %q, %q, %q, %v", userID, keyID, one, ok)
		}
		if _, _, _, ok := newOffice(t).ReadAPIKey("what the operator chose"); ok {
			t.Error("it is read where no operator chose one")
		}
	})

	t.Run("in another form is none, and not the operator's", func(t *testing.T) {
		t.Parallel()
		secret := text[strings.LastIndexByte(text, '.')+1:]
		for _, c := range []string{
			"",
			"gak_",
			"gak_..",
			"gak_user_alice." + secret,
			"gak_user_alice.." + secret,
			"gak_.key_1." + secret,
			"gak_user_alice.key_1.key_2." + secret,
			"gak_user alice.key_1." + secret,
			text[:len(text)-1],
			text + "A",
			text + "\n",
			strings.Repeat("x", 513),
		} {
			if userID, _, _, ok := o.ReadAPIKey(c); ok {
				t.Errorf("%q is of %q", c, userID)
			}
		}
	})

	t.Run("is not made for ids that it could not name", func(t *testing.T) {
		t.Parallel()
		for _, h := range []token.Holder{{}, {UserID: "u"}, {KeyID: "k"}, {UserID: "u.1", KeyID: "k"}, {UserID: "u", KeyID: "k.1"}} {
			if text, _, err := o.NewAPIKey(h); err == nil {
				t.Errorf("NewAPIKey(%v) = %s", h, text)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	o := newOffice(f)
	for _, text := range []string{o.access(f), o.ticket(f), refresh(f, o), apiKey(f, o)} {
		f.Add(text)
		f.Add(text[:len(text)/2])
	}
	for _, text := range []string{"", ".", "..", "e30.e30.e30", "bnVsbA.bnVsbA.", "rtk_a.", "gak_a.b."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end := max(strings.LastIndexByte(text, '.'), 0)
		if _, ok := o.ReadAccess(text); ok && text != text[:end]+"."+signature("at+jwt", text[:end]) {
			t.Errorf("%q is accepted", text)
		}
		if _, ok := o.ReadTicket(text, path); ok && text != text[:end]+"."+signature("ticket+jwt", text[:end]) {
			t.Errorf("%q is accepted", text)
		}
		if family, verifier, ok := o.ReadRefresh(text); ok && (!strings.HasPrefix(text, "rtk_"+family+".") || len(verifier) != 64) {
			t.Errorf("%q is of the family %q", text, family)
		}
		if userID, keyID, verifier, ok := o.ReadAPIKey(text); ok && (!strings.HasPrefix(text, "gak_"+userID+"."+keyID+".") || len(verifier) != 64) {
			t.Errorf("%q is of %q", text, userID)
		}
	})
}
