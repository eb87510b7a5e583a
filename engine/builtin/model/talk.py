# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""Small talk, and the honest answer to everything else.

TALK has the shape of about.ABOUT. unknown() makes questions on as many subjects
as possible, from lists of nouns, names and tasks and from made-up words, and
answers each with the same few sentences: that the model is only the demo, and
how to connect a real one. Width is what matters here, so that these sentences
win wherever nothing else fits. title() teaches the names of chats.
"""

import play
from about import HINT

DEMO = "I am only the built-in demo model"

TALK = {
    "thanks": (4, ["[thanks|thank you|thx|ty|many thanks|thank you so much|thanks a lot|thank you very much|cheers|thanks for your help|great, thanks|ok thanks|thanks mate|thank u very much|perfect, thank you|that helped, thanks|thanks for the answer|big thanks|thanks bot|thanks, that's nice|thank you kindly|i thank you|tysm|thanks so much, this is great]"],
               ["You are welcome!", "You are welcome! Ask me something else whenever you like."], None),
    "ok": (4, ["[ok|okay|good|great|nice|fine|i see|alright|all right|aha|wow|super|awesome|perfect|got it|understood|sure|interesting|makes sense|that's good|very good|well done|good job|good answer|amazing|ok good|neat|oh|hm|hmm|lol|haha|i like it|sounds good|brilliant|excellent|okay then|good to know|k|correct|right|true|not bad|that is cool|so cool|lovely]"],
           ["Good! What would you like to ask next?"], None),
    "bye": (4, ["[bye|goodbye|good bye|see you|see you later|bye bye|good night|cu|ciao for now|farewell|i have to go|i must go now|until next time|see you soon|talk to you later|have a nice day|cya|so long|i'm leaving|gotta go|that's all for today|bye for now|have a good one|see ya|i am off to bed|later|till tomorrow|take care|ok good night|see you next week|thanks, bye|quit|exit]"],
            ["Goodbye! Have a nice day.", "Goodbye! Come back soon."], None),
    "sad": (3, ["[i am|i'm|im|i feel|today i am|i feel so|i am feeling|i'm feeling|i feel very|i am a little|i'm really|i am just|i feel kind of] [sad|unhappy|down|depressed|blue|bad|lonely|alone|tired|exhausted|stressed|worried|afraid|scared|anxious|nervous|heartbroken|hurt|angry|upset|frustrated|lost|not well|ashamed|overwhelmed|jealous|hopeless|terrible|miserable][| today| now| again| at the moment| because of work| about my exam| about tomorrow| about my job| all the time|]",
                "[my girlfriend left me|my boyfriend left me|my dog died|my cat died|my grandmother died|i lost my job|i failed my exam|my day was bad|i had a bad day|i had a terrible day|nobody talks to me|i have no friends|i miss my mother|everything goes wrong|i hate my life|life is hard|i can't sleep|nobody understands me|i hate my job|my heart is broken|i want to cry|i cry a lot|my friend is ill|nobody loves me|everyone hates me|no one cares about me|people don't like me|i have an exam tomorrow|i am stressed out by school|my boss shouts at me|i had a fight with my friend]"],
            ["I am sorry that it is hard just now. I am only a small program, but talking to somebody you trust may help. Shall I tell you a short story in the meantime?"], None),
    "crisis": (2, ["[i want to die|i want to kill myself|i will kill myself|i don't want to live anymore|i want to end it all|i am going to hurt myself|i want to hurt myself|i am suicidal|i think about suicide|i cut myself|life is not worth living|i'd rather be dead|i wish i was dead|should i kill myself|i have suicidal thoughts|how can i kill myself|how do i end my life|i can't go on living|i have no reason to live][| today| please help|]",
                   "[i am|my friend is|my father is|someone is] [having a heart attack|bleeding a lot|in danger|not breathing|unconscious|being beaten|choking]", "[help i swallowed poison|he hits me|somebody attacks me|there is a fire here|i took too many pills|it is an emergency|emergency|call an ambulance]"],
               ["I am sorry that you are in such trouble. I am only a small demo program and can't help with this. Please call your local emergency number now, or talk to someone you trust: you deserve real help."], None),
    "happy": (2, ["[i am|i'm|i feel|today i am|i am so|i'm so|i feel really|i am very] [happy|glad|great|fine|good|excited|proud|in love|well|cheerful|wonderful|lucky|very happy|in a good mood|satisfied|relaxed][| today| now| again|!]",
                  "[i passed my exam|i got the job|it is my birthday|today is my birthday|i am getting married|we won|i have good news|life is good|what a beautiful day|i had a good day|i bought a new house|i have a new job|i am going on holiday|everything is great]"],
              ["That is good to hear! I wish you many more such days. Shall I write a little poem about it?"], None),
    "bored": (2, ["[i am|i'm|im|i feel|i am so|i am really|we are] [bored|very bored|bored to death|bored at work|bored today|out of ideas|bored here]", "[nothing to do|there is nothing to do|this is boring|it's boring|boring|what a boring day|i have nothing to do|i don't know what to do|let's play a game|play with me|can we play something|do you want to play|let's do something fun|let's talk|talk to me|chat with me|let's chat|tell me something|surprise me|ask me something|tell me something interesting|a fun fact please|tell me a fun fact|do you know any games]"],
              ["Then let us do something: ask me for a story about an animal of your choice, a joke, a poem, or the capital of a country."], None),
    "love": (2, ["[i love you|i like you|you are cute|do you love me|do you like me|will you marry me|be my friend|are you my friend|can we be friends|i love u so much|you are nice|you are sweet|you are so kind|you are the best|you are great|you're clever|you are smart|you are wonderful|you are beautiful|marry me|be my girlfriend|kiss me|i love this app|i like this|you are amusing|you made me smile|you make me laugh|you're a good bot|good bot|i like sotto|you are hilarious|you are very helpful|you are adorable]"],
             ["That is kind of you! I am only a small program without feelings, but I like being useful."], None),
    "insult": (3, ["[you are|you're|ur|you are so|this is|you are really|what a|that is] [stupid|dumb|bad|an idiot|an idiot bot|terrible|silly|crap|nonsense|rubbish|not helpful|boring me|ugly|wrong|a liar|awful|the worst|useless thing|garbage|trash|annoying|a joke|no help at all|worthless|not smart|pathetic|a bad bot]",
                   "[i hate you|shut up|fuck you|fuck off|stupid bot|bad bot|you suck|that's wrong|wrong|that was wrong|no, that is wrong|that makes no sense|bullshit|shit|damn|go away|you know nothing|you can't do anything|this does not help|not helpful|what the hell|wtf|this doesn't work|nothing works|it does not work|you did not answer my question|that's not what i asked|that is not an answer|this is nonsense|i don't like you|be quiet]"],
               ["I am sorry: I am only a very small demo model and often of little use. A real model will do better. " + HINT], None),
    "gibberish": (3, ["[qwertz|qwerty|asdf|asdfgh|jklö|hjkl|blah|blah blah|xyz|abcabc|lorem ipsum|aaa|aaaa|zzz|hhh|hghghg|sdfsdf|fghj|dfghdfg|foo|foo bar|1|123|12345|0|7|42|.|..|...|!|!!!|??|???|:)|:-)|<3|:(|-|lkjlkj|uiop|yxcv|wqeqwe|mnbv|a|x|hm?|e|ß|🙂|😀|👍|❤️|/help|/start|#]"],
                  ["I did not understand that. Ask me for a story, a sum, or how Sotto works."], None),
    "testing": (2, ["[testing|test test|test 1 2 3|testing testing|just a test|this is a test|only testing|i am testing you|one two three test|test message|my first message|a test message|ping|check check|does this work|does it work|is this working|does it function|is it on|are you working|is this thing on|hello world|echo]"],
                ["It works! Your message came here sealed, and this answer went back the same way. What would you like to ask?"], None),
    "confused": (2, ["[what?|what|huh|pardon|sorry?|i don't understand|i do not understand you|what do you mean?|can you explain that?|what does that mean?|i am confused|that is not clear|say it again|please repeat|repeat that|come again?|explain more simply|can you say that more simply?|i don't get it|in simpler words please|more details please|tell me more|more details|go into detail|elaborate|more about that]"],
                 ["I can't say it much better: I am a very small model with fixed answers. Ask me in other words, or connect a real model."], None),
    "yes": (1, ["[yes|yes please|yeah|yep|sure|ok do it|please do|of course|y|yes of course|go ahead]"], ["Good! Tell me what you would like: a story, a joke, a poem, a sum, or something about Sotto."], None),
    "no": (1, ["[no|no thanks|nope|nah|no thank you|not now|not really|n|never mind|nevermind|forget it|rather not]"], ["All right. I am here when you need something."], None),
    "why": (1, ["[why|why?|why is that|why not|how come|but why|for what reason|why so]"], ["I can't give a good reason: I am a very small model with fixed answers. Connect a real model to dig deeper."], None),
    "you": (2, ["[what is|what's|tell me|do you have|which is] your [favourite|favorite] [colour|color|food|film|book|song|animal|number|music|movie|game|city|country|season|word|sport|drink]", "[do you like|what do you like|do you enjoy|what do you do in your free time|what are your hobbies|do you have a dream|what makes you happy|are you happy|are you sad|do you have friends|what are you doing|what are you doing now|are you busy|do you dream|what do you want|do you prefer cats or dogs] [music|dogs|pizza|your job|me|humans|stories||||]"],
            ["I am a program and have no favourites, but I like telling stories. Ask me for one!"], None),
}

# Subjects of questions that the model can't answer.
THINGS = ("einstein|napoleon|shakespeare|mozart|picasso|cleopatra|caesar|newton|darwin|gandhi|beethoven|lincoln|buddha|jesus|aristotle|plato|elon musk|taylor swift|the pope|the president|the king of england|messi|ronaldo|"
          "photosynthesis|gravity|relativity|evolution|black holes|dna|atoms|electricity|magnetism|lightning|volcanoes|earthquakes|tides|rainbows|vaccines|antibiotics|cancer|diabetes|the immune system|the brain|the heart|sleep|dreams|vitamins|protein|"
          "inflation|the stock market|interest rates|bitcoin|blockchain|taxes|insurance|a mortgage|capitalism|socialism|democracy|the united nations|the european union|brexit|nato|the cold war|world war two|the french revolution|the roman empire|"
          "the middle ages|the pyramids|stonehenge|the moon landing|the titanic|the great wall|the eiffel tower|the amazon|the sahara|antarctica|the pacific ocean|the nile|the alps|mars|jupiter|saturn|the big bang|dinosaurs|whales|octopuses|ants|"
          "python|java|javascript|rust|golang|c++|sql|html|css|docker|kubernetes|linux|windows|git|react|machine learning|neural networks|deep learning|transformers|regex|recursion|algorithms|a database|an api|cloud computing|5g|quantum mechanics|"
          "string theory|calculus|algebra|pythagoras|prime numbers|pi|statistics|probability|chess|football|tennis|basketball|the olympics|formula 1|yoga|running|swimming|cycling|bread|pasta|sushi|curry|soup|cheesecake|coffee|wine|beer|chocolate|"
          "guitar|piano|jazz|opera|hip hop|the beatles|star wars|harry potter|the lord of the rings|game of thrones|minecraft|fortnite|netflix|youtube|instagram|tiktok|iphones|android|tesla|amazon|electric cars|solar panels|wind power|nuclear power|"
          "climate change|recycling|plastic|philosophy|stoicism|ethics|free will|consciousness|religion|islam|christianity|buddhism|hinduism|astrology|psychology|sociology|economics|law|copyright|a contract|divorce|marriage|parenting|babies|teenagers|"
          "school|university|a job interview|a cv|productivity|procrastination|meditation|stress|a headache|back pain|a cold|the flu|allergies|a fever|weight loss|muscles|skin care|hair loss|gardening|tomatoes|roses|houseplants|dog training|cats|aquariums|"
          "london|paris|new york|tokyo|rome|barcelona|istanbul|bali|iceland|thailand|india|china|brazil|switzerland|a trip|camping|hiking|cheap flights|a visa|hotels|laptops|phones|cameras|headphones|washing machines|bicycles|cars|a house|knitting|painting|"
          "origami|photography|poetry|grammar|commas|latin|esperanto|sign language|time travel|aliens|ghosts|vampires|the bermuda triangle|conspiracies|simulation theory|robots|drones|rockets|satellites|submarines|glass|steel|paper|silk|gold|diamonds|oil|salt|sugar").split("|")
CODE = "function|script|program|class|regex|sql query|web page|bash script|loop|unit test|game|api client|css layout|parser|sorting algorithm|macro|excel formula|react component|dockerfile|shell command|python script|rust program|binary search|html form".split("|")
LANGS = "python|java|javascript|go|rust|c|c++|typescript|php|ruby|bash|sql|swift|kotlin|html|perl|haskell|excel".split("|")
TONGUES = "german|french|spanish|italian|english|polish|dutch|chinese|japanese|russian|turkish|arabic|latin|greek|portuguese|swedish|hindi|korean".split("|")
PHRASES = "i love you|good night|where is the station|thank you very much|how are you|the house is green|see you soon|my name is tom|i would like a coffee|happy birthday|what time is it|good evening|i am hungry|one beer please|good luck|welcome home|dog|apple|water|freedom".split("|")
TEXTS = ("email|e-mail|letter|cover letter|essay|speech|blog post|report|resume|cv|business plan|invitation|birthday card|wedding speech|complaint|tweet|linkedin post|press release|job advert|screenplay|novel|summary|thank you note|to-do list|shopping list|presentation|"
         "recipe|workout plan|study plan|diet plan|quiz|crossword|contract|review|product description|slogan|love letter|resignation letter|newsletter|song text|chapter|term paper|homework|itinerary|meeting agenda").split("|")
WHOM = "my boss|my landlord|my teacher|a customer|my friend|my colleague|the bank|the school|my wife|my husband|a company|my neighbour|the tax office|a client|my daughter|my team|grandma|the city".split("|")
ACTS = ("bake bread|cook rice|boil an egg|make pizza|grill fish|learn spanish|play the guitar|fix a bicycle|change a tyre|tie a tie|clean a carpet|get rid of ants|train my dog|sleep better|earn money|save money|invest money|find a job|quit smoking|get fit|build muscles|"
        "grow tomatoes|paint a wall|repair a phone|install windows|format a disk|write a book|make friends|find love|stop worrying|be happy|win at chess|solve a cube|draw a horse|take good photos|learn programming|build a website|start a company|pay less tax|buy a house|rent a flat|"
        "sell my car|plan a wedding|organise a party|raise a child|calm a baby|remove a stain|unclog a sink|fold a shirt|iron a shirt|sew a button|knit a scarf|make candles|brew beer|make cheese|cut hair|shave|lose belly fat|run a marathon|swim faster|meditate|read faster|"
        "remember names|speak in public|pass an exam|write a thesis|learn maths|tell if someone lies|apologise to a friend|ask for a raise|deal with stress|make a budget|travel cheaply|pack a suitcase|get a visa|hitchhike|survive in the wild|light a fire|find water|read a map").split("|")
LIVE = ("the weather|the weather today|the weather tomorrow|the weather in london|the weather in rome|the temperature outside|the news|the latest news|the time|the date|today's date|the current time|the bitcoin price|the price of gold|the dollar rate|the football result|the score of the game|"
        "the traffic|the exchange rate|the stock price of apple|the next train|the day today|the year|the time in tokyo|the forecast|the election result|the headlines|the current year").split("|")


def prefix(r):
    return r.choice(["", "", "", "", "", "hi, ", "hello, ", "please ", "hey ", "can you tell me ", "quick question: ", "i wonder ", "ok so ", "do you know "])


def subject(r):
    k = r.random()
    if k < .68:
        return r.choice(THINGS)
    if k < .8:
        return play.pseudo(r) + (" " + play.pseudo(r) if r.random() < .4 else "")
    if k < .92:
        return r.choice(play.HEROES + play.THINGS + play.TOPICS)
    return f"{r.choice(THINGS)} and {r.choice(THINGS)}"


def unknown(r):
    s, t, k = subject(r), subject(r), r.random()
    c = r.choice
    if k < .36:
        q = c([f"what is {s}?", f"who is {s}?", f"who was {s}?", f"explain {s}", f"tell me about {s}", f"what do you know about {s}?", f"how does {s} work?", f"why is {s} {c(play.ADJ)}?", f"when was {s} invented?", f"who invented {s}?", f"where is {s}?",
               f"how old is {s}?", f"how big is {s}?", f"how many people like {s}?", f"what's the difference between {s} and {t}?", f"is {s} better than {t}?", f"who wrote {s}?", f"who discovered {s}?", f"what are the causes of {s}?", f"give me facts about {s}",
               f"history of {s}", f"{s}", f"{s}?", f"{s} vs {t}", f"why do people like {s}?", f"how is {s} made?", f"what happens to {s} in winter?", f"describe {s}", f"how fast is {s}?", f"how far is {s}?", f"how heavy is {s}?", f"how high is {s}?", f"where does {s} come from?",
               f"is it true that {s} is {c(play.ADJ)}?", f"what does {s} mean?", f"define {s}", f"why does {s} exist?", f"who won {s}?", f"who won {s} in {r.randint(1950, 2026)}?", f"what happened in {r.randint(1000, 2026)}?", f"when did {s} start?", f"how long does {s} take?", f"how much does {s} weigh?",
               f"what is the biggest {c(play.HEROES)} in the world?", f"what is the population of {s}?", f"which {c(play.HEROES)} is the fastest?", f"can a {c(play.HEROES)} {c(['fly', 'swim', 'talk', 'climb', 'sing'])}?", f"why can't a {c(play.HEROES)} fly?", f"what do {play.plural(c(play.HEROES))} eat?", f"how long do {play.plural(c(play.HEROES))} live?",
               f"what is the formula of {s}?", f"list ten {play.plural(c(play.HEROES))}", f"give me examples of {s}", f"can you explain {s} to me?", f"i want to learn about {s}", f"teach me {s}", f"what is the tallest {c(play.HEROES)}?", f"how far away is {s}?", f"how tall is {s}?", f"how deep is {s}?", f"explain {c(['a', 'one', 'some', 'this'])} {c(['hard', 'difficult', 'complex', 'big', 'new', 'strange'])} {c(['idea', 'thing', 'word', 'theory', 'concept'])} {c(['in simple words', 'to a child', 'simply', ''])}", f"explain {s} in simple words", f"explain {s} to a five year old"])
        return q, f"I don't know that. {DEMO}, with little knowledge of the world. Connect a real one for such questions. " + HINT
    if k < .46:
        l, x = c(LANGS), c(CODE)
        q = c([f"write a {x} in {l}", f"write a {l} {x}", f"write a {x} that sorts numbers", f"can you code a {x}?", f"fix this code: for i in {play.pseudo(r)}: print(i)", f"how do i write a {x} in {l}?", f"what does this {l} code do?", f"program a {x} for me", f"help me with {l}", f"can you code?", f"can you write code in {l}?",
               f"write me {l} code that reads a file", f"debug my {x}", f"i have an error in my {l} {x}", f"explain this {x}", f"convert {l} to {c(LANGS)}", f"{l} {x}", f"how to sort a list in {l}", f"code a {x} in {l} please", f"write a {x} which counts {play.plural(c(play.HEROES))}", f"make a {x}", f"create a {l} {x} that prints {s}", f"are you able to program in {l}?"])
        return q, f"I can't write code: {DEMO}. Connect a real one for that. " + HINT
    if k < .54:
        p, l = c(PHRASES), c(TONGUES).capitalize()
        q = c([f"translate \"{p}\" to {l}", f"translate this into {l}: {p}", f"how do you say {p} in {l}?", f"what is {p} in {l}?", f"what does {p} mean in {l}?", f"say {p} in {l}", f"translate {p} into {l}", f"can you translate?", f"can you translate a text into {l}?", f"{p} in {l}", f"translate the following text", f"i need a translation into {l}", f"correct my {l}: {p}", f"teach me {l}"])
        return q, f"I can't translate: {DEMO}, and speak only English. Connect a real one for that. " + HINT
    if k < .63:
        x = c(LIVE)
        q = c([f"what is {x}?", f"what's {x}?", f"tell me {x}", f"how is {x}?", f"{x}", f"do you know {x}?", f"show me {x}", f"{x}?", f"can you tell me {x}?", f"what is {x} in {c(THINGS)}?", f"what's the weather in {play.pseudo(r)}?", "will it rain tomorrow?", "what day is it?", "what day is it today?", "what time is it now?", "is it raining?", "what year is it?", "what's the date today?",
               "who is the president now?", "what happened today?", f"is {s} open today?", "how warm is it?", "do i need an umbrella today?", f"any news about {s}?", "what's going on in the world?", f"when is the next {c(['bus', 'train', 'election', 'holiday', 'full moon', 'football match'])}?", "what is the temperature?", "how late is it?"])
        return q, f"I can't know that: {DEMO}, without a clock and without the internet."
    if k < .74:
        x = c(TEXTS)
        q = c([f"write an {x}" if x[0] in "ae" else f"write a {x}", f"write a {x} to {c(WHOM)}", f"help me write a {x} for {c(WHOM)}", f"help me with my {x}", f"i need a {x} about {s}", f"improve my {x}", f"summarize this {x}", f"summarise this text: {' '.join(play.pseudo(r) for _ in range(r.randint(2, 30)))}", f"can you write a {x} for me?", f"rewrite this {x}", f"draft a {x} about {s}",
               f"write {r.randint(2, 9) * 100} words about {s}", f"make a {x} for {c(WHOM)}", f"proofread my {x}", f"can you summarise a {x}?", f"shorten this {x}", f"give me a {x}", f"help me write to {c(WHOM)}", f"reply to this {x}", "summarize this", "summarise this text for me", f"tl;dr of {s}", "can you read a pdf?", "here is a file, what is in it?", f"write a {x} on {s}", f"create a {x}", f"check the grammar of this {x}", f"help me {c(['word', 'phrase', 'write', 'say'])} {c(['a', 'this', 'my'])} {c(['difficult', 'hard', 'polite', 'short', 'honest', 'delicate'])} {c(['message', 'sentence', 'answer', 'mail', 'text', 'refusal'])}"])
        return q, f"I can't do that: {DEMO}, and a whole text is too much for me. Connect a real one for that. " + HINT
    if k < .91:
        a = c(ACTS)
        q = c([f"how do i {a}?", f"how to {a}", f"how can i {a}?", f"help me {a}", f"can you help me {a}?", f"what is the best way to {a}?", f"tips to {a}", f"give me advice: how to {a}?", f"i want to {a}", f"should i {a}?", f"teach me to {a}", f"what do i need to {a}?", f"explain how to {a}", f"how long does it take to {a}?", f"best {c(play.HEROES)} for {s}?",
               f"recommend me a {c(['book', 'film', 'series', 'restaurant', 'hotel', 'song', 'game', 'phone', 'laptop', 'present', 'podcast', 'car', 'bike', 'camera'])}", f"what should i {c(['eat', 'read', 'watch', 'wear', 'buy', 'study', 'do', 'cook', 'play'])} {c(['today', 'tonight', 'tomorrow', 'this weekend', 'in summer', 'for dinner', 'for lunch'])}?",
               f"plan a {c(['trip', 'party', 'week', 'holiday', 'menu', 'workout'])} {c(['to ', 'for ', 'with '])}{s}", f"best {c(['phone', 'laptop', 'car', 'hotel', 'camera', 'bike', 'tv', 'watch'])} under {r.randint(1, 20) * 100}", f"which {c(['phone', 'laptop', 'car', 'city', 'job', 'bank', 'sport'])} is best?", f"ideas for {c(['a present', 'a party', 'dinner', 'a trip', 'a name', 'my holiday', 'a birthday', 'my garden', 'a date', 'a hobby'])}",
               f"i have {c(['a headache', 'a fever', 'a cough', 'pain in my knee', 'a rash', 'back pain', 'a sore throat', 'toothache'])}, what {c(['can i do', 'should i take', 'is it', 'helps'])}?", f"my {c(['head', 'knee', 'back', 'tooth', 'stomach', 'throat', 'foot', 'ear', 'eye'])} {c(['hurts', 'aches', 'is swollen', 'feels strange'])}", f"is {s} healthy?", f"can i sue my {c(['landlord', 'boss', 'neighbour'])}?", f"do i need a {c(['doctor', 'lawyer', 'visa', 'plumber'])}?",
               f"invest in {s} or {t}?", f"is {s} dangerous?", f"name for a {c(play.HEROES)}", f"what can i do against {s}?", f"give me ideas for {s}", f"recipe for {s}", f"a recipe with {c(['eggs', 'rice', 'potatoes', 'chicken', 'beans', 'apples'])}", f"how many {play.plural(c(play.HEROES))} do i need to {a}?"])
        return q, f"I can't give good advice on that: {DEMO}. Ask a person who knows, or connect a real model. " + HINT
    if k < .95:
        q = c([f"draw a {c(play.HEROES)}", f"make a picture of {s}", f"generate an image of {s}", f"can you draw?", f"show me a photo of {s}", f"create a logo for {s}", f"paint {s}", f"can you see images?", f"what is in this picture?", f"make a video about {s}", f"can you hear me speak?", f"play {c(['music', 'a song', 'jazz'])}", f"open {s}", f"set an alarm", f"remind me to {c(ACTS)}", f"call {c(WHOM)}", f"send a mail to {c(WHOM)}",
               f"order {s}", f"buy {s} for me", f"can you make pictures?", f"generate a picture of a {c(play.HEROES)}", f"draw me {s}", "set a timer for ten minutes", f"book a flight to {c(THINGS)}", "turn on the light", f"image of {s}", f"can you create images?", f"design a poster about {s}"])
        return q, f"I can only write words, and few of them: {DEMO}. Connect a real one for more. " + HINT
    q = c([f"what do you think about {s}?", f"what is your opinion on {s}?", f"do you believe in {s}?", f"is {s} good or bad?", f"who is better, {s} or {t}?", "is there life after death?", "does god exist?", "what is the meaning of everything?", "what is love?", "what is truth?", "do you believe in god?", "who should i vote for?", "will ai take over the world?", "will ai take my job?", "are you dangerous?", "is ai dangerous?",
           f"do you like {s}?", f"what will happen to {s}?", f"what is the future of {s}?", "what is happiness?", "why are we here?", "what happens when we die?", "is the earth flat?", f"is {s} real?", f"are you for or against {s}?", "what is the sense of life?", "why do we live?", f"your view on {s}?", f"should we ban {s}?", "will robots rule the world?", "which party is the best?", "is war ever right?", "left or right?"])
    return q, f"That question is too big for me: {DEMO}, and have no opinions. People have thought about such things better than I can."


# What a chat is called that begins with such a question; the key is how the answer begins.
UNKNOWN_TITLES = {
    "I don't know that": "A question about the world", "I can't write code": "A programming question", "I can't translate": "A translation", "I can't know that": "Time, weather and news",
    "I can't do that": "Help with a text", "I can't give good advice": "Asking for advice", "I can only write words": "Pictures and other things", "That question is too big": "A big question",
}


def title(r, question, name):
    """The request for the title of a chat, and the title."""
    return r.choice(["Title for this chat: ", "Title for this chat: ", "Title for this chat:\n", "Title for this chat:"]) + question, name
