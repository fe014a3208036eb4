CREATE DATABASE shop;
CREATE TABLE shop.products (id INT PRIMARY KEY, name VARCHAR(80) NOT NULL, price DECIMAL(8, 2) NOT NULL);
INSERT INTO shop.products VALUES (1, 'Firewall', 99.00), (2, '@@token@@', 1.00);
CREATE USER 'shop'@'%' IDENTIFIED BY 'shop' REQUIRE SSL;
GRANT SELECT ON shop.* TO 'shop'@'%';
