// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Answers for the gallery, written for it.

export const LETTER = `Here is a draft. It is polite, says what happened, and asks for a date.

> Dear Ms Okafor,
>
> I am writing about the damp in the bathroom ceiling of Flat 4. I first told you of it on 20 August, and again in September and October. Each time I was told that someone would come. Nobody has.
>
> Please tell me by **30 November** on which day the repair will be done.

Two things to add if you have them:

- a photo with a date
- the name of whoever you spoke to
`;

export const RICH = `Firmer, and the dates speak for themselves:

| Date | What I reported | What you answered |
|:--|:--|:--|
| 20 August | A brown patch, the size of a plate | “We will send someone.” |
| 17 September | Twice as large, and wet | “He is on holiday.” |
| 29 October | Plaster coming down | No answer |

### What to ask for

1. A repair **before 7 December**.
2. A rent reduction of about \`15 %\` for the months since August.
3. An answer in writing.

- [x] Dates collected
- [ ] Photos attached

A landlord must keep the structure in repair.[^1] If nothing happens, your council’s housing team can inspect, and that is usually when things move.

[^1]: In England, section 11 of the Landlord and Tenant Act 1985. Elsewhere the rule has another name.
`;

export const CODE = `A record is always the same size on the wire, so you read exactly that many bytes each time:

\`\`\`go
// Read reads the next record. It answers io.EOF only after the final marker.
func (r *Reader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.done {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, fmt.Errorf("record %d: %w", r.seq, err)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
\`\`\`

Then run the tests:

\`\`\`sh
go test ./seal -run TestRecords -count=1 -v 2>&1 | grep -E '^(ok|FAIL|---)' | sort | uniq -c | sort -rn
\`\`\`

The error names the record with \`%w\`, so a caller can still ask \`errors.Is(err, io.ErrUnexpectedEOF)\`.
`;

export const MATHS = `The quadratic $ax^2 + bx + c = 0$ has two solutions. Divide by $a$ and complete the square:

$$
\\left(x + \\frac{b}{2a}\\right)^2 = \\frac{b^2 - 4ac}{4a^2}
$$

Take the root of both sides, and you have

\\[ x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}. \\]

With \\(a = 1\\), \\(b = -3\\), \\(c = 2\\) this gives $x = 1$ and $x = 2$. Two coffees at $4 and $5 are still money.
`;

export const LONG = `The short answer is that it depends on how warm the room is.

A dough at 18 °C takes about twice as long as one at 25 °C. So either wait longer, or find a warmer place: an oven with only its light on is often right.

- Feel it, don’t time it.
- It should wobble.
`;

export const STREAM = `Every 40 milliseconds one record leaves the machine, whether there are new words or not. A watcher sees a steady beat and learns neither how long each word is nor how fast the model thinks.

### What fills a record

1. **Words**, all that came since the last beat.
2. **Padding**, so that each is 1,024 bytes.

| Seen outside | Not seen |
|:--|:--|
| That an answer is being sent | Its words |
| Roughly how long it lasts | Its exact length |

At the end the number of records is rounded up, so that a short answer and a slightly longer one look the same. It costs a little traffic and hides a lot.
`;
