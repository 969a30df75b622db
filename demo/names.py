"""The names that the synthetic people of the demo are put together from."""

_GIVEN = """
Aaliyah Abdi Abel Abigail Adriana Ahmed Aiden Aisha Alana Alejandro Alex Alice Alicia Alina Alma
Amadou Amani Amara Amelia Amina Amir Ana Andre Andrea Angel Angela Aniyah Anthony Antonio Aria
Ariana Asha Ashley Aurora Ava Ayaan Ayana Beatriz Benjamin Bianca Binta Brandon Brianna Bruno
Caleb Camila Carla Carlos Carmen Caroline Catarina Cecilia Celia Charles Charlotte Chloe
Christian Clara Claudia Connor Cora Cristina Daisy Damian Daniel Daniela Dante Darius David
Dayana Deja Derek Diana Diego Dimitri Dinh Dominic Duc Dylan Edgar Eduardo Elena Eli Elias
Elijah Elisa Eliza Ella Emanuel Emilia Emily Emma Eric Esther Ethan Eva Evan Ezra Farah Fatima
Felix Fernanda Finn Francesca Gabriel Gabriela Genesis George Gianna Giovanni Grace Hadi Hana
Hannah Hassan Hector Helen Hope Hugo Huy Ibrahim Ida Imani Ines Isaac Isabel Isaiah Ismael Ivan
Ivy Jada Jaden Jamal James Jasmine Javier Jayla Jeremiah Jessica Joana Joaquin Jonah Jordan
Jorge Josefina Joseph Josiah Joy Juan Julia Julian Kadiatou Kai Kaleb Karina Kayla Keisha Kevin
Khadija Khalil Kiara Kim Kofi Kwame Laila Lamine Lara Laura Layla Leah Leila Leo Leonardo Levi
Liam Lila Linh Logan Louis Luca Lucas Lucia Luis Luna Lydia Madison Malik Manuel Marcus Maria
Mariam Marina Mario Marisol Mateo Matthew Maya Mei Melanie Mia Michael Miguel Mila Miriam
Mohamed Monica Nadia Naomi Natalia Nathan Nevaeh Nia Nicolas Nina Noah Noor Nora Nyla Olivia
Omar Oscar Pablo Paola Paul Pedro Phoebe Quinn Rafael Rania Raul Rebecca Rhea Ricardo Robert
Rocio Rosa Ruby Ruth Ryan Sadia Salma Samira Samuel Sana Santiago Sara Sasha Sebastian Selena
Simone Sofia Stella Tamia Tariq Tatiana Teo Thanh Theo Thomas Tiana Trinity Valentina Vanessa
Victor Violet Vivian William Wren Xavier Ximena Yara Yasmin Yusuf Zahra Zara Zion Zoe
"""

_FAMILY = """
Abara Abdullahi Acevedo Achebe Acosta Adeyemi Aguilar Ahmadi Alarcon Almeida Alvarado Amaral
Amato Andrade Aponte Araujo Arroyo Asante Ashford Avila Ayala Baez Bailey Baldwin Baptiste
Barbosa Barrett Barros Batista Beauvais Beltran Bennett Bermudez Berry Bishop Blanco Boateng
Bonilla Botelho Bowen Braga Brennan Brito Brooks Bui Burgos Burke Byrne Cabral Calderon Callahan
Camara Campbell Cardoso Carney Carrasco Carvalho Casey Castillo Chan Charles Chau Chavez Chen
Cheung Chin Chowdhury Cisse Clarke Clermont Cohen Colon Connolly Contreras Cordero Correia
Coulibaly Cruz Cunningham Curran Dang Daniels DaSilva Davila Delgado Depina Desai Desrosiers
Diallo Dias Diaz Dinh Diop Doherty Donovan Dorsey Duarte Dubois Duong Duran Edmonds Egan Eid
Elias Ellison Escobar Espinal Estrada Eze Farrell Feliz Fernandes Figueroa Finnegan Fitzgerald
Flores Fofana Fonseca Fontaine Fortes Francois Freeman Fuentes Furtado Gagnon Gallagher Garcia
Gaspar Gebre Georges Germain Ghosh Gibbons Gill Gomes Gonsalves Gordon Graham Grant Greene
Griffin Guerrero Gupta Guzman Haddad Hamdi Harper Harris Hassan Hayes Henriquez Hernandez
Herrera Hidalgo Ho Hoang Holmes Huang Hughes Huynh Iglesias Ito Jaber Jackson Jaramillo Jean
Jeffries Jenkins Jimenez Joseph Joyce Kamara Kane Kaur Keane Keita Kelleher Kennedy Khan Kim
Kuang Kumar Lafleur Lam Landry Lara Lau Laurent Leblanc Lee Legrand Leon Li Lima Lin Lopes Louis
Lozano Lugo Luong Lynch Ma Macedo Maher Maldonado Malone Mancini Marquez Marte Martinez Mateo
Mathieu Matos McCarthy McGrath Medina Mehta Mejia Melo Mendes Mensah Mercado Michel Miranda
Mohammed Molina Montero Monteiro Moore Morales Moran Moreau Moreno Morris Moses Moura Murphy
Nassar Navarro Ndiaye Neves Newton Ngo Nguyen Noel Nolan Nunes Nwosu OBrien Ocampo Okafor Okoye
Oliveira Omondi Ortega Osei Pacheco Padilla Park Patel Paulino Peguero Pena Pereira Perez Petit
Pham Phan Pierre Pimentel Pinto Pires Polanco Ponce Powell Quintero Quirk Rahman Ramirez Ramos
Reyes Ribeiro Rivas Rivera Robles Rocha Rodrigues Rojas Romero Rosario Ruiz Russo Saleh Salazar
Sanchez Sandoval Santana Santos Semedo Serrano Shah Sheehan Silva Singh Soto Sousa Stephens
Suarez Sullivan Sylla Tang Tavares Teixeira Tejada Thompson Torres Toure Tran Trinh Truong Tsang
Valdez Vargas Vasquez Vega Velez Vieira Villanueva Vo Walsh Wang Watson Weaver Williams Wong Wu
Yang Yeung Yilmaz Young Yu Zamora Zapata Zeledon Zhang Zheng
"""

GIVEN = tuple(_GIVEN.split())
FAMILY = tuple(_FAMILY.split())
