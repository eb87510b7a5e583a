// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"
	"strings"
)

// A topic has words in each language, and answers of a typical length: people who
// ask for a recipe get more than people who ask for a word in another language.
type topic struct {
	name   string
	tokens float64 // median length of an answer
	words  [4]string
}

var languages = [4]string{"English", "German", "Spanish", "French"}

var topics = []topic{
	{"medicine", 260, [4]string{
		"doctor tablet blood-pressure symptom dizziness appointment prescription pharmacy",
		"Arzt Tablette Blutdruck Beschwerden Schwindel Termin Verschreibung Apothekenpersonal",
		"médico pastilla tensión síntoma mareo cita receta farmacia",
		"médecin comprimé tension symptôme vertige rendez-vous ordonnance pharmacie"}},
	{"law", 480, [4]string{
		"lawyer contract deadline court objection landlord claim evidence",
		"Anwältin Vertrag Widerspruchsfrist Gericht Einspruch Vermieter Schadensersatzanspruch Beweismittel",
		"abogada contrato plazo juzgado recurso casero demanda prueba",
		"avocate contrat délai tribunal recours propriétaire réclamation preuve"}},
	{"money", 200, [4]string{
		"tax savings interest loan budget account debt salary",
		"Steuer Ersparnisse Zinssatz Kredit Haushaltsplan Konto Schulden Gehalt",
		"impuesto ahorros interés préstamo presupuesto cuenta deuda sueldo",
		"impôt épargne intérêt prêt budget compte dette salaire"}},
	{"cooking", 330, [4]string{
		"onion oven butter dough spoon salt pan garlic",
		"Zwiebel Backofen Butter Hefeteig Esslöffel Salz Pfanne Knoblauch",
		"cebolla horno mantequilla masa cuchara sal sartén ajo",
		"oignon four beurre pâte cuillère sel poêle ail"}},
	{"programs", 600, [4]string{
		"function variable loop compiler error array pointer test",
		"Funktion Variable Schleife Übersetzer Fehlermeldung Feld Zeiger Test",
		"función variable bucle compilador error arreglo puntero prueba",
		"fonction variable boucle compilateur erreur tableau pointeur essai"}},
	{"travel", 300, [4]string{
		"train ticket island hotel luggage border museum harbour",
		"Zug Fahrkarte Insel Unterkunft Gepäck Grenze Museum Hafenrundfahrt",
		"tren billete isla hotel equipaje frontera museo puerto",
		"train billet île hôtel bagage frontière musée port"}},
	{"grief", 120, [4]string{
		"mother funeral sadness friend memory silence letter sleep",
		"Mutter Beerdigung Traurigkeit Freundin Erinnerung Stille Brief Schlaflosigkeit",
		"madre funeral tristeza amiga recuerdo silencio carta sueño",
		"mère obsèques tristesse amie souvenir silence lettre sommeil"}},
	{"politics", 240, [4]string{
		"election parliament protest party minister vote censorship union",
		"Wahl Parlament Demonstration Partei Ministerin Abstimmung Zensur Gewerkschaftsbund",
		"elección parlamento protesta partido ministra voto censura sindicato",
		"élection parlement manifestation parti ministre vote censure syndicat"}},
}

// frames are sentences in which % stands for a word of the topic.
var frames = [4][]string{
	{"The % comes first, then the %.", "You can ask about the % before you decide.", "If the % changes, look at the % again, and write down what you find.",
		"That is normal.", "It depends on the %, the % and, above all, on the %.", "Most people forget the %."},
	{"Zuerst kommt das Thema %, danach %.", "Fragen Sie nach %, bevor Sie sich entscheiden.", "Wenn sich bei % etwas verändert, sehen Sie sich % noch einmal an und schreiben Sie es auf.",
		"Das ist üblich.", "Es hängt von %, % und vor allem von % ab.", "Die meisten vergessen %."},
	{"Primero va %, luego %.", "Puedes preguntar por % antes de decidir.", "Si cambia %, mira otra vez % y apunta lo que encuentres.",
		"Eso es normal.", "Depende de %, de % y, sobre todo, de %.", "Casi todos olvidan %."},
	{"D’abord %, ensuite %.", "Vous pouvez demander % avant de décider.", "Si % change, regardez encore % et notez ce que vous trouvez.",
		"C’est normal.", "Cela dépend de %, de % et surtout de %.", "La plupart des gens oublient %."},
}

// answer writes an answer with about as many tokens as a draw of the topic's
// lengths says, and returns also the length of the question in characters.
func answer(r *rand.Rand, t *topic, language int) (text string, question int) {
	words := strings.Fields(t.words[language])
	want := t.tokens * math.Exp(0.5*r.NormFloat64())
	var b strings.Builder
	// Each topic has its habits: lists, code, short sentences.
	habit := len(t.name) % 3
	for float64(b.Len())/4 < want && b.Len() < 12000 {
		f := frames[language][(r.IntN(len(frames[language]))+habit*r.IntN(2))%len(frames[language])]
		if t.name == "programs" && r.IntN(3) == 0 {
			b.WriteString("\n    " + words[r.IntN(8)] + "[i] = " + words[r.IntN(8)] + "(x, 0);\n")
		}
		if t.name == "cooking" && r.IntN(2) == 0 {
			b.WriteString("\n- ")
		}
		for _, part := range strings.SplitAfter(f, "%") {
			if p, ok := strings.CutSuffix(part, "%"); ok {
				b.WriteString(p + words[r.IntN(8)])
			} else {
				b.WriteString(part)
			}
		}
		b.WriteByte(' ')
	}
	return b.String(), 40 + r.IntN(200)
}
